# PostgreSQL rows as JSON, and small status requests, for Puma.
require "json"
require "pg"
require "fiddle"

QUERY = "SELECT id, author, views, body FROM article WHERE id >= $1 ORDER BY id LIMIT $2".freeze

def rows(query)
  parameters = URI.decode_www_form(query).to_h
  Thread.current[:database] ||= PG.connect(ENV.fetch("BENCH_DATABASE"))
  result = Thread.current[:database].exec_params(QUERY, [parameters["first"].to_i, parameters["count"].to_i])
  JSON.generate(result.to_a)
ensure
  # As ActiveRecord does: the driver's copy of the rows does not wait for the next collection.
  result&.clear
end

application = lambda do |environment|
  body = case environment["PATH_INFO"]
         when "/status" then JSON.generate({ status: "ok" })
         when "/rows" then rows(environment["QUERY_STRING"])
         end
  next [404, {}, []] unless body
  [200, { "content-type" => "application/json", "content-length" => body.bytesize.to_s }, [body]]
end

# The application patch that people write against growing workers.
class Patch
  EVERY = 1024
  TRIM = Fiddle::Function.new(Fiddle.dlopen(nil)["malloc_trim"], [Fiddle::TYPE_SIZE_T], Fiddle::TYPE_INT)

  def initialize(application)
    @application = application
    @count = 0
  end

  def call(environment)
    @application.call(environment)
  ensure
    @count += 1
    if (@count % EVERY).zero?
      GC.start
      TRIM.call(0)
    end
  end
end

use Patch if ENV.key?("BENCH_PATCHED")
run application
