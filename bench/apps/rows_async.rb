# The application of rows.ru on one thread of fibers, as Falcon has them: Async::HTTP, which Falcon is made of. `rows_async.rb PORT`

require "async"
require "async/http/endpoint"
require "async/http/server"
require "rack"

# Older versions of Rack return the options, too.
application, = Rack::Builder.parse_file(File.expand_path("rows.ru", __dir__))
endpoint = Async::HTTP::Endpoint.parse("http://127.0.0.1:#{ARGV.fetch(0)}")
server = Async::HTTP::Server.for(endpoint) do |request|
  path, query = request.path.split("?", 2)
  status, headers, body = application.call("PATH_INFO" => path, "QUERY_STRING" => query.to_s)
  # It says itself how long the answer is.
  Protocol::HTTP::Response[status, headers.except("content-length"), body]
end
Async { server.run }
