# A task worker that indexes documents by their words: `sidekiq --require ./index_sidekiq.rb`. Documents are PostgreSQL's rows as JSON, at
# $BENCH_DATABASE; tasks come from Redis, at $REDIS_URL. See index_celery.py.
require "sidekiq"
require_relative "rows"

# Else two lines in the log for each task, and one for each wait, cost more than a small task.
Sidekiq.logger.level = Logger::WARN
Redis.silence_deprecations = true

class Index
  include Sidekiq::Worker
  sidekiq_options retry: false

  def perform(target, list)
    path, query = target.split("?")
    body = answer(path, query)
    document = JSON.parse(body)
    found = Hash.new { |words, word| words[word] = [] }
    (query ? document : []).each do |row|
      row["body"].split.each { |word| found[word] << row["id"] }
    end
    Sidekiq.redis { |connection| connection.lpush(list, body.bytesize) }
  end
end
