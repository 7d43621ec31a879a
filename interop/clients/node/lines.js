// The loop of the Node.js drivers: one JSON request a line in, one JSON answer a line out.

const readline = require('readline')

// The library cannot make this call.
class NoMeans extends Error {}

const bytes = text => (text === null ? null : Buffer.from(text))
const text = found => (found === null || found === undefined ? null : found.toString())

// Answers until standard input ends. `codeOf` finds the error code in what the library throws.
async function serve(calls, codeOf) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await answer(calls, codeOf, line)) + '\n')
  }
  process.exit(0)
}

async function answer(calls, codeOf, line) {
  const { call, ...request } = JSON.parse(line)
  try {
    if (!(call in calls)) {
      throw new NoMeans(`the driver has no ${call}`)
    }
    return { result: (await calls[call](request)) ?? null }
  } catch (error) {
    if (error instanceof NoMeans || error.name === 'KafkaJSNotImplemented') {
      return { unsupported: error.message }
    }
    const code = codeOf(error)
    return code > 0 ? { error: code, message: error.message } : { failed: error.stack }
  }
}

module.exports = { NoMeans, bytes, serve, text }
