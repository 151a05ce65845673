# An application that is large before its workers are forked, and requests that leave garbage of their own, for Puma's cluster.
require "json"

PRELOADED = Array.new(150_000) { |n| { "id" => n, "name" => "record #{n}", "values" => [n, 2.5, "three"] } }

run(lambda do |environment|
  records = environment["QUERY_STRING"][/\Acount=(\d+)/, 1].to_i
  rows = JSON.parse(JSON.generate(PRELOADED.first(records)))
  body = JSON.generate({ preloaded: PRELOADED.length, parsed: rows.length })
  [200, { "content-type" => "application/json", "content-length" => body.bytesize.to_s }, [body]]
end)
