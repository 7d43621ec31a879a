// Driver of @confluentinc/kafka-javascript: one JSON request a line in, one JSON answer a line out.
// It uses the calls that librdkafka's own names stand for; those named like kafkajs read through groups only.

const { AdminClient, KafkaConsumer, Producer } = require('@confluentinc/kafka-javascript')
const { NoMeans, bytes, serve, text } = require('./lines')

const WAIT_MS = 20_000
const UNKNOWN_TOPIC = 3
const OFFSET_BEGINNING = -2

const bootstrap = process.argv[2]
const common = { 'bootstrap.servers': bootstrap }

// Calls a method whose last argument is a callback.
const done = (object, name, ...args) =>
  new Promise((resolve, reject) => {
    object[name](...args, (error, result) => (error ? reject(error) : resolve(result)))
  })

async function withAdmin(use) {
  const admin = AdminClient.create(common)
  try {
    return await use(admin)
  } finally {
    admin.disconnect()
  }
}

async function withConsumer(use) {
  const consumer = new KafkaConsumer(
    {
      ...common,
      // Required by the library; no group is joined where partitions are assigned by hand.
      'group.id': 'interop',
      'enable.auto.commit': false,
      'fetch.message.max.bytes': 4 << 20,
    },
    { 'auto.offset.reset': 'error' }
  )
  await done(consumer, 'connect', {})
  try {
    return await use(consumer)
  } finally {
    await done(consumer, 'disconnect')
  }
}

// The partitions of a topic; the library leaves out why there are none.
async function partitionsOf(consumer, topic) {
  const { topics } = await done(consumer, 'getMetadata', { topic, timeout: WAIT_MS })
  const found = topics.find(one => one.name === topic)
  if (found === undefined || found.partitions.length === 0) {
    throw Object.assign(new Error(`${topic} has no partitions`), { code: UNKNOWN_TOPIC })
  }
  return found.partitions
}

async function offsetsOf(consumer, topic, partition) {
  const { lowOffset, highOffset } = await done(consumer, 'queryWatermarkOffsets', topic, partition, WAIT_MS)
  return [lowOffset, highOffset]
}

const calls = {
  create: ({ topic, partitions, configs }) =>
    withAdmin(admin => {
      const asked = { topic, num_partitions: partitions, replication_factor: 1, config: configs }
      return done(admin, 'createTopic', asked, WAIT_MS)
    }),

  delete: ({ topic }) => withAdmin(admin => done(admin, 'deleteTopic', topic, WAIT_MS)),

  partitions: ({ topic }) => withConsumer(async consumer => (await partitionsOf(consumer, topic)).length),

  configs: () => {
    throw new NoMeans('no request for configs')
  },

  alter: () => {
    throw new NoMeans('no request that changes configs')
  },

  grow: ({ topic, partitions }) => withAdmin(admin => done(admin, 'createPartitions', topic, partitions, WAIT_MS)),

  trim: ({ topic, partition, before }) =>
    withAdmin(admin => done(admin, 'deleteRecords', [{ topic, partition, offset: before }], { timeout: WAIT_MS })),

  offsets: ({ topic, partition }) => withConsumer(consumer => offsetsOf(consumer, topic, partition)),

  produce: async ({ topic, records, acks, compression, idempotent, bytes_max }) => {
    if (records.some(record => record.value === '')) {
      throw new NoMeans('an empty value is sent as null')
    }
    const producer = new Producer({
      ...common,
      acks,
      'compression.type': compression,
      'enable.idempotence': idempotent,
      'message.max.bytes': bytes_max,
      'linger.ms': 50,
      'message.timeout.ms': WAIT_MS,
      dr_cb: true,
    })
    const errors = []
    producer.on('delivery-report', error => error && errors.push(error))
    await done(producer, 'connect', {})
    producer.setPollInterval(10)
    try {
      for (const { key, value, headers } of records) {
        const pairs = headers.map(([name, given]) => ({ [name]: given }))
        // A key as text: an empty one in a buffer arrives as null.
        producer.produce(topic, 0, bytes(value), key, undefined, undefined, pairs)
      }
      await done(producer, 'flush', WAIT_MS)
    } finally {
      await done(producer, 'disconnect')
    }
    if (errors.length > 0) {
      throw errors[0]
    }
  },

  consume: ({ topic, start: [at, number] }) =>
    withConsumer(async consumer => {
      // An assigned partition of an unknown topic would be waited for, not refused.
      await partitionsOf(consumer, topic)
      const [first, end] = await offsetsOf(consumer, topic, 0)
      let offset = at === 'offset' ? number : OFFSET_BEGINNING
      if (at === 'timestamp') {
        const asked = [{ topic, partition: 0, offset: number }]
        offset = (await done(consumer, 'offsetsForTimes', asked, WAIT_MS))[0].offset
      }
      const records = []
      if ((at === 'beginning' ? first : offset) >= end) {
        return records
      }
      consumer.setDefaultConsumeTimeout(500)
      consumer.assign([{ topic, partition: 0, offset }])
      const deadline = Date.now() + WAIT_MS
      while (Date.now() < deadline) {
        const messages = await done(consumer, 'consume', 1000)
        records.push(...messages.map(json))
        if (records.at(-1)?.offset === end - 1) {
          return records
        }
      }
      throw new Error(`end ${end} not reached, ${records.length} records read`)
    }),
}

function json({ offset, timestamp, key, value, headers }) {
  const pairs = (headers ?? []).flatMap(header => Object.entries(header))
  return {
    offset,
    timestamp,
    key: text(key),
    value: text(value),
    headers: pairs.map(([name, given]) => [name, text(given)]),
  }
}

serve(calls, error => error.code)
