# PostgreSQL rows as JSON, and small status requests, for Puma.
require "fiddle"
require_relative "rows"

application = lambda do |environment|
  body = answer(environment["PATH_INFO"], environment["QUERY_STRING"])
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
