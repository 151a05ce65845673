# The application that Puma serves: a plain one, with no code for memory in it. Rows of text become objects, and those JSON.
require "json"

LINES = File.open(ENV.fetch("DEMO_LINES"), "r:UTF-8")
# Where each line begins, and the end.
BEGINS = LINES.each_line.reduce([0]) { |begins, line| begins << begins.last + line.bytesize }.freeze

def rows(query)
  first, count = URI.decode_www_form(query).to_h.values_at("first", "count").map(&:to_i)
  begin_at = BEGINS[first - 1]
  text = LINES.pread(BEGINS[first - 1 + count] - begin_at, begin_at)
  JSON.generate(text.each_line.map { |line| JSON.parse(line) })
end

run(lambda do |environment|
  body = case environment["PATH_INFO"]
         when "/status" then JSON.generate({ status: "ok" })
         when "/rows" then rows(environment["QUERY_STRING"])
         end
  next [404, {}, []] unless body
  [200, { "content-type" => "application/json", "content-length" => body.bytesize.to_s }, [body]]
end)
