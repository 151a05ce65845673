# A task worker that parses JSON: `sidekiq --require ./parse_sidekiq.rb`, with Redis at $REDIS_URL.
require "json"

class Parse
  include Sidekiq::Worker

  # As in parse_celery.py. The count of what is done is in Redis at once, unlike Sidekiq's own.
  def perform(records)
    rows = Array.new(records) { |n| %({"id": #{n}, "name": "record #{n}", "values": [#{n}, 2.5, "three"]}) }
    JSON.parse("[#{rows.join(",")}]").map { |row| row["name"] }.uniq.length
    Sidekiq.redis { |redis| redis.incr("done") }
  end
end
