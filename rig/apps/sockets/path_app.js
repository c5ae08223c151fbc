// Serves on a Unix-domain path as people write it: the old file is removed first, and the
// path is removed again at the end, by Node itself.
const fs = require('fs')
const http = require('http')
const release = process.env.RELEASE || '0'
const path = process.env.APP_SOCKET

if (fs.existsSync(path)) fs.unlinkSync(path)
const server = http.createServer((request, response) => {
  const slow = request.url.startsWith('/slow') ? 300 : 0
  setTimeout(() => response.end(`release ${release} pid ${process.pid}\n`), slow)
})
server.listen(path, () => fs.chmodSync(path, 0o622))
process.on('SIGTERM', () => server.close(() => process.exit(0)))
