// What the Node.js members of consumer groups share: events as JSON lines out, the word to leave in.
// What the events say and when they are told is written in member_loop.py.

const fs = require('fs')

const asked = JSON.parse(process.argv[2])
const owned = new Set()

function tell(event, fields = {}) {
  fs.writeSync(1, JSON.stringify({ at: Date.now() / 1000, event, ...fields }) + '\n')
}

function assigned(partitions) {
  const fresh = partitions.filter(partition => !owned.has(partition))
  fresh.forEach(partition => owned.add(partition))
  // An empty assignment is one, too: the member is in the group.
  tell('assigned', { partitions: fresh })
}

function givenUp(partitions, event = 'revoked') {
  const gone = partitions.filter(partition => owned.delete(partition))
  if (gone.length > 0) {
    tell(event, { partitions: gone })
  }
}

// Offsets as [first, last] of every run without a hole.
function spans(offsets) {
  const found = []
  for (const offset of offsets) {
    const last = found.at(-1)
    if (last && last[1] + 1 === offset) {
      last[1] = offset
    } else {
      found.push([offset, offset])
    }
  }
  return found
}

// Resolves when standard input has a line or ends.
const toldToLeave = new Promise(resolve => {
  process.stdin.once('data', resolve)
  process.stdin.once('end', resolve)
})

module.exports = { asked, assigned, givenUp, owned, spans, tell, toldToLeave }
