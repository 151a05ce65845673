# A Puma whose answers leave garbage: trees of JSON, which Ruby keeps until its next full collection.
#
#   ruby garbage.rb PORT [library | interrupts | signals | fibers | nio4r | unicorn | cluster | sidekiq | warmup | python]
#
#   /garbage          some tens of megabytes of it
#   /little           some megabytes
#   /disable          GC.disable
#   /tell             how many full collections were made, how much of it was finalized, and how many waits were interrupted
#   /python           what CPython says of its own full collections
#   anything else     a short answer
#
# With "library" there is no Puma: the only thread waits in a library's select, without the interpreter lock. With "interrupts" threads
# wait beside Puma in select, and are interrupted there by Timeout, Thread#raise, Thread#kill and a signal's trap. With "signals"
# there is no Puma: the main thread waits in select without an end, and each signal must run its trap at once; /tell counts those that did not. With "fibers" it is Async::HTTP.
# With "nio4r" the main thread waits in nio4r's event loop, also beside signals. With "unicorn" it is Unicorn with one worker. With "cluster" it is Puma with two workers, which share much with their master. With "sidekiq" it is Sidekiq, whose tasks (class
# Garbage) come from the Redis at PORT. With "warmup" Process.warmup comes before Puma. With "python" a CPython is in the process, too, which Puma's
# threads ask for /python. Prints its port. No syntax that is newer than 2.7.

# Sidekiq reads this file once more, as its application.
return if defined?(Sidekiq::CLI)

$stdout.sync = true

require "fiddle"
require "json"
require "socket"
require "timeout"

port, mode = ARGV

$finalized = 0
$interrupted = 0

# Made here, where nothing is named that it could keep.
COUNT_IT = proc { $finalized += 1 }

def garbage(count)
  rows = Array.new(count) { |row| { "id" => row, "name" => "row #{row}", "values" => [row, row + 1, row + 2] } }
  copy = JSON.parse(JSON.generate(rows))
  ObjectSpace.define_finalizer(copy, COUNT_IT)
  copy.length
end

# A CPython that comes later than the library.
class Python
  COUNT = "import gc; count = gc.get_stats()[2]['collections']; kept = [[]]; kept[0].append(kept)".freeze

  def initialize
    @library = Fiddle.dlopen("libpython3.11.so.1.0")
    call("Py_InitializeEx", Fiddle::TYPE_VOID, Fiddle::TYPE_INT => 0)
    call("PyEval_SaveThread", Fiddle::TYPE_VOIDP)
  end

  # Leaves cyclic garbage of its own, too.
  def count
    state = call("PyGILState_Ensure", Fiddle::TYPE_INT)
    raise "Python failed" unless call("PyRun_SimpleString", Fiddle::TYPE_INT, Fiddle::TYPE_VOIDP => COUNT).zero?
    main = call("PyImport_AddModule", Fiddle::TYPE_VOIDP, Fiddle::TYPE_VOIDP => "__main__")
    value = call("PyObject_GetAttrString", Fiddle::TYPE_VOIDP, [[Fiddle::TYPE_VOIDP, main], [Fiddle::TYPE_VOIDP, "count"]])
    call("PyLong_AsLong", Fiddle::TYPE_LONG, Fiddle::TYPE_VOIDP => value)
  ensure
    call("PyGILState_Release", Fiddle::TYPE_VOID, Fiddle::TYPE_INT => state)
  end

  private

  def call(name, result, arguments = {})
    types, values = arguments.to_a.transpose
    Fiddle::Function.new(@library[name], types || [], result).call(*values)
  end
end

def answer(path)
  case path
  when "/garbage" then "#{garbage(100_000)}\n"
  when "/little" then "#{garbage(5_000)}\n"
  when "/disable" then "#{GC.disable}\n"
  when "/python" then "#{$python.count}\n"
  when "/tell" then "#{GC.stat(:major_gc_count)} #{$finalized} #{$interrupted}\n"
  else "fine\n"
  end
end

# Each wait is left by an exception, by longjmp.
def interrupts
  reader, = IO.pipe
  Thread.new do
    loop do
      Timeout.timeout(0.03) { IO.select([reader]) }
    rescue Timeout::Error
      $interrupted += 1
    end
  end
  Thread.new do
    loop do
      waiting = Thread.new { IO.select([reader]) }
      sleep 0.02
      waiting.kill
      waiting.join
      $interrupted += 1
    end
  end
  Thread.new do
    waiting = Thread.new do
      loop do
        IO.select([reader])
      rescue ArgumentError
        $interrupted += 1
      end
    end
    loop do
      sleep 0.025
      waiting.raise(ArgumentError)
    end
  end
  trap("USR1") { $interrupted += 1 }
  Thread.new do
    loop do
      sleep 0.05
      Process.kill("USR1", Process.pid)
    end
  end
end

def serve_one(client)
  body = answer(client.readpartial(4096).split(" ")[1])
  client.write("HTTP/1.1 200 OK\r\ncontent-length: #{body.bytesize}\r\nconnection: close\r\n\r\n#{body}")
rescue EOFError
  # Who asks nothing looks whether somebody listens.
ensure
  client.close
end

def serve_by_library(port)
  listener = TCPServer.new("127.0.0.1", port)
  select = Fiddle::Function.new(
    Fiddle.dlopen(nil)["select"], [Fiddle::TYPE_INT, *([Fiddle::TYPE_VOIDP] * 4)], Fiddle::TYPE_INT
  )
  puts listener.local_address.ip_port
  bits = Array.new(128, 0)
  bits[listener.fileno / 8] = 1 << (listener.fileno % 8)
  loop do
    select.call(listener.fileno + 1, bits.pack("C*"), nil, nil, nil)
    serve_one(listener.accept)
  end
end

# Seconds: much more than a collection takes, much less than until the next event.
SOON = 5

def send_signals
  handled = 0
  trap("USR1") { handled += 1 }
  loop do
    expected = handled + 1
    Process.kill("USR1", Process.pid)
    limit = Process.clock_gettime(Process::CLOCK_MONOTONIC) + SOON
    sleep 0.0005 while handled < expected && Process.clock_gettime(Process::CLOCK_MONOTONIC) < limit
    $interrupted += 1 if handled < expected
    sleep 0.001 * (handled % 5)
  end
end

def serve_beside_signals(port)
  listener = TCPServer.new("127.0.0.1", port)
  puts listener.local_address.ip_port
  Thread.new { send_signals }
  loop do
    IO.select([listener])
    serve_one(listener.accept)
  end
end

APPLICATION = lambda do |environment|
  body = answer(environment["PATH_INFO"])
  [200, { "content-type" => "text/plain", "content-length" => body.bytesize.to_s }, [body]]
end

def serve_by_unicorn
  require "unicorn"
  listener = TCPServer.new("127.0.0.1", 0)
  port = listener.local_address.ip_port
  listener.close
  server = Unicorn::HttpServer.new(APPLICATION, listeners: ["127.0.0.1:#{port}"], worker_processes: 1)
  server.start
  puts port
  server.join
end

def serve_by_puma(port)
  require "puma"
  server = Puma::Server.new(APPLICATION)
  listener = server.add_tcp_listener("127.0.0.1", port)
  puts listener.local_address.ip_port
  server.run.join
end

# One thread of fibers, as Falcon has them: Async::HTTP, which Falcon is made of.
def serve_by_fibers(port)
  require "async"
  require "async/http/endpoint"
  require "async/http/server"
  port = Addrinfo.tcp("127.0.0.1", port).bind { |socket| socket.local_address.ip_port }
  endpoint = Async::HTTP::Endpoint.parse("http://127.0.0.1:#{port}")
  server = Async::HTTP::Server.for(endpoint) do |request|
    Protocol::HTTP::Response[200, { "content-type" => "text/plain" }, [answer(request.path)]]
  end
  Async do
    server.run
    puts port
  end
end

# The event loop that Async 1 and Puma's reactor have, with signals meanwhile.
def serve_by_nio4r(port)
  require "nio"
  listener = TCPServer.new("127.0.0.1", port)
  selector = NIO::Selector.new
  selector.register(listener, :r)
  puts listener.local_address.ip_port
  Thread.new { send_signals }
  loop { selector.select { serve_one(listener.accept) } }
end

# Of what the workers share there are some tens of megabytes.
def serve_by_cluster(port)
  require "puma"
  require "puma/configuration"
  require "puma/launcher"
  shared = Array.new(150_000) { |row| { "id" => row, "values" => [row, row + 1] } }
  port = Addrinfo.tcp("127.0.0.1", port).bind { |socket| socket.local_address.ip_port }
  configuration = Puma::Configuration.new do |puma|
    puma.app(APPLICATION)
    puma.bind("tcp://127.0.0.1:#{port}")
    puma.workers(2)
    puma.threads(2, 2)
    puma.preload_app!
  end
  launcher = Puma::Launcher.new(configuration, events: Puma::Events.null)
  launcher.events.on_booted { puts port }
  launcher.run
  shared.length
end

def work_by_sidekiq(port)
  puts port
  require "sidekiq/cli"
  Sidekiq.configure_server { |config| config.redis = { url: "redis://127.0.0.1:#{port}/0" } }
  task = Class.new do
    include Sidekiq::Worker
    def perform(count)
      garbage(count)
    end
  end
  Object.const_set(:Garbage, task)
  worker = Sidekiq::CLI.instance
  worker.parse(["--require", __FILE__, "--concurrency", "3"])
  worker.run
end

case mode
when "library" then serve_by_library(port.to_i)
when "signals" then serve_beside_signals(port.to_i)
when "fibers" then serve_by_fibers(port.to_i)
when "nio4r" then serve_by_nio4r(port.to_i)
when "unicorn" then serve_by_unicorn
when "cluster" then serve_by_cluster(port.to_i)
when "sidekiq" then work_by_sidekiq(port)
else
  interrupts if mode == "interrupts"
  Process.warmup if mode == "warmup"
  $python = Python.new if mode == "python"
  serve_by_puma(port.to_i)
end
