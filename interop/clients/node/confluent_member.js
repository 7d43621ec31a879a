// Member of a consumer group on @confluentinc/kafka-javascript.

const { KafkaConsumer, CODES } = require('@confluentinc/kafka-javascript')
const { asked, assigned, givenUp, owned, spans, tell, toldToLeave } = require('./member')

const COMMIT_MS = 5000
const BATCH_RECORDS_MAX = 200
const BATCH_MS = 50
const ASSIGNORS = { cooperative: 'cooperative-sticky' }

const settings = {
  'bootstrap.servers': asked.bootstrap,
  'group.id': asked.group,
  'enable.auto.commit': false,
  'fetch.wait.max.ms': 100,
  rebalance_cb: onRebalance,
}
if (asked.instance) {
  settings['group.instance.id'] = asked.instance
}
if (asked.protocol === 'consumer') {
  settings['group.protocol'] = 'consumer'
} else {
  settings['session.timeout.ms'] = asked.session_ms
  settings['heartbeat.interval.ms'] = asked.heartbeat_ms
  settings['partition.assignment.strategy'] = ASSIGNORS[asked.assignor] ?? asked.assignor
}
const consumer = new KafkaConsumer(settings, { 'auto.offset.reset': asked.reset })
// Offsets read and not yet told.
const read = new Map()
// Next offset of each partition whose last records were not committed yet.
const uncommitted = new Map()

function onRebalance(error, places) {
  const partitions = places.map(place => place.partition)
  const isIncremental = consumer.rebalanceProtocol() === 'COOPERATIVE'
  if (error.code === CODES.ERRORS.ERR__ASSIGN_PARTITIONS) {
    assigned(partitions)
    isIncremental ? consumer.incrementalAssign(places) : consumer.assign(places)
    return
  }
  if (consumer.assignmentLost()) {
    partitions.forEach(partition => read.delete(partition))
    partitions.forEach(partition => uncommitted.delete(partition))
    givenUp(partitions, 'lost')
  } else {
    const deadline = Date.now() + COMMIT_MS
    flush()
    while (partitions.some(partition => uncommitted.has(partition)) && Date.now() < deadline) {
      commit()
    }
    partitions.forEach(partition => uncommitted.delete(partition))
    givenUp(partitions)
  }
  isIncremental ? consumer.incrementalUnassign(places) : consumer.unassign()
}

function commit() {
  if (uncommitted.size === 0) {
    return
  }
  const places = [...uncommitted].map(([partition, offset]) => ({ topic: asked.topic, partition, offset }))
  try {
    consumer.commitSync(places)
  } catch (error) {
    tell('commit_failed', { error: error.message })
    return
  }
  tell('committed', { offsets: Object.fromEntries(uncommitted) })
  uncommitted.clear()
}

// Tells what was read since the last time, and commits it.
function flush() {
  for (const [partition, offsets] of read) {
    tell('records', { partition, offsets: spans(offsets) })
    uncommitted.set(partition, offsets.at(-1) + 1)
  }
  read.clear()
  commit()
}

// One message a call: one call for several goes on through a rebalance, and gives what it read before it as well.
const consume = () =>
  new Promise(resolve => consumer.consume(1, (error, messages) => resolve([error, messages])))

const done = name =>
  new Promise((resolve, reject) => consumer[name]((error, result) => (error ? reject(error) : resolve(result))))

async function main() {
  let isLeaving = false
  let count = 0
  let due = 0
  toldToLeave.then(() => (isLeaving = true))
  consumer.on('event.error', error => tell('trouble', { message: error.message }))
  await new Promise((resolve, reject) => consumer.connect({}, error => (error ? reject(error) : resolve())))
  consumer.setDefaultConsumeTimeout(100)
  consumer.subscribe([asked.topic])
  while (!isLeaving) {
    const [error, messages] = await consume()
    if (error) {
      tell('trouble', { message: error.message })
      continue
    }
    for (const { partition, offset } of messages) {
      read.set(partition, [...(read.get(partition) ?? []), offset])
      count += 1
    }
    if (messages.length === 0 || count >= BATCH_RECORDS_MAX || Date.now() > due) {
      flush()
      count = 0
      due = Date.now() + BATCH_MS
    }
  }
  consumer.unsubscribe()
  const deadline = Date.now() + COMMIT_MS
  while (owned.size > 0 && Date.now() < deadline) {
    await consume()
  }
  await done('disconnect')
  tell('left')
  process.exit(0)
}

main().catch(error => {
  tell('trouble', { message: error.stack })
  process.exit(1)
})
