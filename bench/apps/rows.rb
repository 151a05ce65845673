# PostgreSQL rows as JSON, for Puma (rows.ru) and Sidekiq (index_sidekiq.rb).
require "json"
require "pg"
require "uri"

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

# The body of an answer; nil where there is none.
def answer(path, query)
  case path
  when "/status" then JSON.generate({ status: "ok" })
  when "/rows" then rows(query)
  end
end
