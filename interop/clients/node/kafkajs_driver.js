// Driver of kafkajs: one JSON request a line in, one JSON answer a line out.

const { CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = require('kafkajs')
// The consumer of the library reads through a group only; its parts below that fetch by offset.
const Cluster = require('kafkajs/src/cluster')
const { createLogger } = require('kafkajs/src/loggers')
const LoggerConsole = require('kafkajs/src/loggers/console')
const defaultSocketFactory = require('kafkajs/src/network/socketFactory')
const { NoMeans, bytes, serve, text } = require('./lines')

const WAIT_MS = 20_000
// How many bytes of records go into one batch; a larger record makes a batch of its own.
const BATCH_BYTES = 1_000_000
const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}

const bootstrap = process.argv[2]
const common = {
  brokers: [bootstrap],
  clientId: 'interop',
  connectionTimeout: WAIT_MS / 2,
  requestTimeout: WAIT_MS / 2,
  retry: { initialRetryTime: 100, retries: 5 },
}
const kafka = new Kafka({ ...common, logLevel: logLevel.NOTHING })

async function withAdmin(use) {
  const admin = kafka.admin()
  await admin.connect()
  try {
    return await use(admin)
  } finally {
    await admin.disconnect()
  }
}

const calls = {
  create: ({ topic, partitions, configs }) =>
    withAdmin(async admin => {
      const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }))
      await admin.createTopics({
        topics: [{ topic, numPartitions: partitions, replicationFactor: 1, configEntries }],
      })
    }),

  delete: ({ topic }) => withAdmin(admin => admin.deleteTopics({ topics: [topic] })),

  partitions: ({ topic }) =>
    withAdmin(async admin => {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
      return topics[0].partitions.length
    }),

  configs: ({ topic }) =>
    withAdmin(async admin => {
      const { resources } = await admin.describeConfigs({
        includeSynonyms: false,
        resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }],
      })
      const pairs = resources[0].configEntries.map(entry => [entry.configName, entry.configValue])
      return Object.fromEntries(pairs)
    }),

  alter: () => {
    // It only knows the request that resets every config it does not name.
    throw new NoMeans('no incremental change of configs')
  },

  grow: ({ topic, partitions }) =>
    withAdmin(admin => admin.createPartitions({ topicPartitions: [{ topic, count: partitions }] })),

  trim: ({ topic, partition, before }) =>
    withAdmin(admin => admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before) }] })),

  offsets: ({ topic, partition }) =>
    withAdmin(async admin => {
      const found = (await admin.fetchTopicOffsets(topic)).find(one => one.partition === partition)
      return [Number(found.low), Number(found.high)]
    }),

  groups: () => withAdmin(async admin => (await admin.listGroups()).groups.map(group => group.groupId)),

  group: ({ group }) =>
    withAdmin(async admin => {
      const { groups } = await admin.describeGroups([group])
      return [groups[0].state, groups[0].members.length]
    }),

  group_offsets: ({ group, topic }) =>
    withAdmin(async admin => {
      const [{ partitions }] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
      return Object.fromEntries(partitions.map(({ partition, offset }) => [partition, Number(offset)]))
    }),

  set_group_offsets: ({ group, topic, offsets }) =>
    withAdmin(admin => {
      const partitions = Object.entries(offsets).map(([partition, offset]) => ({
        partition: Number(partition),
        offset: String(offset),
      }))
      return admin.setOffsets({ groupId: group, topic, partitions })
    }),

  delete_group: ({ group }) => withAdmin(async admin => void (await admin.deleteGroups([group]))),

  produce: async ({ topic, records, acks, compression, idempotent }) => {
    if (records.some(record => record.headers.length > 0)) {
      throw new NoMeans('headers are an object, which has no order over different names')
    }
    const producer = kafka.producer({
      idempotent,
      maxInFlightRequests: idempotent ? 1 : undefined,
      createPartitioner: () => () => 0,
    })
    await producer.connect()
    try {
      for (const messages of batches(records)) {
        await producer.send({
          topic,
          messages,
          acks: acks === 'all' ? -1 : Number(acks),
          timeout: WAIT_MS / 2,
          compression: CODECS[compression],
        })
      }
    } finally {
      await producer.disconnect()
    }
  },

  consume: async ({ topic, start: [at, number] }) => {
    const [place, found] = await withAdmin(async admin => [
      (await admin.fetchTopicOffsets(topic))[0],
      at === 'timestamp' ? (await admin.fetchTopicOffsetsByTimestamp(topic, number))[0].offset : number,
    ])
    const end = Number(place.high)
    let next = Number(at === 'beginning' ? place.low : found)
    const cluster = new Cluster({
      ...common,
      logger: createLogger({ level: logLevel.NOTHING, logCreator: LoggerConsole }),
      offsets: new Map(),
      socketFactory: defaultSocketFactory(),
      enforceRequestTimeout: true,
      allowAutoTopicCreation: false,
      metadataMaxAge: 300_000,
      maxInFlightRequests: null,
    })
    await cluster.connect()
    try {
      await cluster.addTargetTopic(topic)
      const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [0]))
      const broker = await cluster.findBroker({ nodeId })
      const records = []
      const deadline = Date.now() + WAIT_MS
      while (next < end) {
        if (Date.now() > deadline) {
          throw new Error(`end ${end} not reached, ${records.length} records read`)
        }
        const { responses } = await broker.fetch({
          maxWaitTime: 500,
          minBytes: 1,
          maxBytes: 8 << 20,
          isolationLevel: 0,
          topics: [{ topic, partitions: [{ partition: 0, fetchOffset: String(next), maxBytes: 4 << 20 }] }],
        })
        for (const message of responses[0].partitions[0].messages) {
          // A batch that begins before the offset comes whole.
          if (Number(message.offset) >= next) {
            records.push(json(message))
            next = Number(message.offset) + 1
          }
        }
      }
      return records
    } finally {
      await cluster.disconnect()
    }
  },
}

function* batches(records) {
  let batch = []
  let size = 0
  for (const { key, value } of records) {
    const message = { key: bytes(key), value: bytes(value) }
    const length = (message.key?.length ?? 0) + (message.value?.length ?? 0)
    if (batch.length > 0 && size + length > BATCH_BYTES) {
      yield batch
      batch = []
      size = 0
    }
    batch.push(message)
    size += length
  }
  yield batch
}

function json({ offset, timestamp, key, value }) {
  return { offset: Number(offset), timestamp: Number(timestamp), key: text(key), value: text(value), headers: [] }
}

// The error code in whatever the library wraps it into.
function codeOf(error) {
  if (error?.name === 'KafkaJSAggregateError') {
    return codeOf(error.errors[0])
  }
  if (error?.name === 'KafkaJSDeleteGroupsError') {
    return error.groups[0].errorCode
  }
  if (typeof error?.code === 'number') {
    return error.code
  }
  return error?.cause ? codeOf(error.cause) : undefined
}

serve(calls, codeOf)
