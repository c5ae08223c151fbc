# A Rack app that logs the number of each request.
LOG = File.open(ENV.fetch('NUMBERS'), 'a')
LOG.sync = true

run(lambda do |env|
  size = env['rack.input'].read.bytesize
  number = env['QUERY_STRING'][/id=(\d+)/, 1]
  release = ENV.fetch('RELEASE', '0')
  LOG.syswrite("#{number} #{env['REQUEST_METHOD']} #{size} #{release}\n") if number
  body = "release #{release} pid #{Process.pid} number #{number}\n"
  [200, { 'Content-Length' => body.bytesize.to_s }, [body]]
end)
