// Member of a consumer group on kafkajs.

const { AssignerProtocol, Kafka, PartitionAssigners, logLevel } = require('kafkajs')
const { asked, assigned, givenUp, owned, spans, tell, toldToLeave } = require('./member')

const { MemberAssignment, MemberMetadata } = AssignerProtocol

// The library has no assignor under a name that other clients use, and lets the application bring one.
// It writes the layout of version 0, whatever number it is told.
const version = 0
const range = ({ cluster }) => ({
  name: 'range',
  version,
  async assign({ members, topics }) {
    const given = members.map(({ memberId }) => ({ memberId, assignment: {} }))
    given.sort((one, other) => (one.memberId < other.memberId ? -1 : 1))
    for (const topic of topics) {
      const partitions = cluster.findTopicPartitionMetadata(topic).map(found => found.partitionId)
      partitions.sort((one, other) => one - other)
      const each = Math.floor(partitions.length / given.length)
      const longer = partitions.length % given.length
      given.forEach(({ assignment }, index) => {
        const start = each * index + Math.min(index, longer)
        assignment[topic] = partitions.slice(start, start + each + (index < longer ? 1 : 0))
      })
    }
    return given.map(({ memberId, assignment }) => ({
      memberId,
      memberAssignment: MemberAssignment.encode({ version, assignment, userData: Buffer.alloc(0) }),
    }))
  },
  protocol({ topics }) {
    return { name: 'range', metadata: MemberMetadata.encode({ version, topics, userData: Buffer.alloc(0) }) }
  },
})

const kafka = new Kafka({
  brokers: [asked.bootstrap],
  clientId: 'interop',
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 100, retries: 8 },
})
const consumer = kafka.consumer({
  groupId: asked.group,
  sessionTimeout: asked.session_ms,
  heartbeatInterval: asked.heartbeat_ms,
  rebalanceTimeout: 30_000,
  maxWaitTimeInMs: 100,
  metadataMaxAge: 5000,
  partitionAssigners: [asked.assignor === 'range' ? range : PartitionAssigners.roundRobin],
})

let isBusy = false
let isLeaving = false
let isRebalancing = false

// The library tells of a rebalance while a batch may still be in work; the partitions are given up after it.
function giveUpIfIdle() {
  if (isRebalancing && !isBusy) {
    givenUp([...owned])
  }
}

async function eachBatch({ batch, resolveOffset, commitOffsetsIfNecessary, heartbeat, isRunning, isStale }) {
  if (isLeaving || isRebalancing || !isRunning() || isStale()) {
    return
  }
  isBusy = true
  try {
    const offsets = batch.messages.map(message => Number(message.offset))
    if (offsets.length > 0) {
      const next = offsets.at(-1) + 1
      tell('records', { partition: batch.partition, offsets: spans(offsets) })
      resolveOffset(String(offsets.at(-1)))
      try {
        await commitOffsetsIfNecessary({
          topics: [{ topic: batch.topic, partitions: [{ partition: batch.partition, offset: String(next) }] }],
        })
        tell('committed', { offsets: { [batch.partition]: next } })
      } catch (error) {
        tell('commit_failed', { error: error.message })
        throw error
      }
    }
  } finally {
    isBusy = false
    giveUpIfIdle()
  }
  await heartbeat()
}

async function main() {
  consumer.on(consumer.events.REBALANCING, () => {
    isRebalancing = true
    giveUpIfIdle()
  })
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    givenUp([...owned])
    isRebalancing = false
    assigned(payload.memberAssignment[asked.topic] ?? [])
  })
  consumer.on(consumer.events.CRASH, ({ payload }) => tell('trouble', { message: String(payload.error) }))
  await consumer.connect()
  await consumer.subscribe({ topics: [asked.topic], fromBeginning: asked.reset === 'earliest' })
  await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch })
  await toldToLeave
  isLeaving = true
  while (isBusy) {
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  givenUp([...owned])
  await consumer.disconnect()
  tell('left')
  process.exit(0)
}

main().catch(error => {
  tell('trouble', { message: error.stack })
  process.exit(1)
})
