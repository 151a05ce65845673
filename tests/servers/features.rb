# A server whose every answer comes by way of some features of Ruby's that touch its collections or its threads, and leaves garbage.
#
#   ruby features.rb PORT FEATURE...
#
#   /tell             how many of its objects were finalized
#   anything else     what each feature makes of this request: the same whoever collects meanwhile, and whenever
#
# A feature that this Ruby does not have answers "-". Prints its port. No syntax that is newer than 2.7.

$stdout.sync = true
Warning[:experimental] = false

$VERBOSE = nil

require "socket"
require "timeout"
require "weakref"

$finalized = 0
COUNT_IT = proc { $finalized += 1 }

def garbage(count = 100_000)
  Array.new(count) { |row| { "name" => "row #{row}", "values" => [row, row + 1] } }.sum { |row| row["values"].sum }
end

def now
  Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

# In a method of its own, so that no frame names the objects.
def finalized_by(count, finalizer)
  count.times { ObjectSpace.define_finalizer(Object.new, finalizer) }
end

# One waits for work, one for a descriptor, and one computes while others collect.
class Ractors
  def initialize
    return unless defined?(Ractor)
    @adder = Ractor.new { loop { Ractor.yield(Array.new(Ractor.receive) { |number| number.to_s * 3 }.sum(&:length)) } }
    Ractor.new { loop { Array.new(50) { |number| [number] * 10 }.flatten.sum && sleep(0.002) } }
    reader, @writer = IO.pipe
    @waiting = Ractor.new(reader) { |pipe| loop { IO.select([pipe]) && Ractor.yield(pipe.readpartial(10)) } }
  end

  def step(number)
    return "-" unless @adder
    @adder.send(1_000 + number)
    @writer.write(number.to_s)
    short = Ractor.new(number) { |given| Array.new(given) { [given] }.length }
    [@adder.take, @waiting.take, short.take].join(" ")
  end
end

# The least that fibers need. It waits by select.
class Scheduler
  LONG = 1_000_000

  def initialize
    @waiting = {}
    @until = {}
    @ready = Queue.new
    @woken, @wake = IO.pipe
  end

  def run
    until @waiting.empty? && @until.empty?
      soonest = @until.values.min
      seconds = soonest && [soonest - now, 0].max
      read, write = IO.select([@woken, *waiting(IO::READABLE)], waiting(IO::WRITABLE), nil, seconds)
      [*read, *write].each do |io|
        io == @woken ? @woken.read_nonblock(100) : @waiting.delete(io)&.first&.resume
      end
      resume(@ready.pop, true) until @ready.empty?
      @until.select { |_, time| time <= now }.each_key { |fiber| resume(fiber, false) }
    end
  end
  alias close run

  def fiber(&block)
    Fiber.new(blocking: false, &block).tap(&:resume)
  end

  def io_wait(io, events, _seconds = nil)
    @waiting[io] = [Fiber.current, events]
    Fiber.yield
    events
  end

  def kernel_sleep(seconds = nil)
    block(:sleep, seconds)
  end

  def block(_blocker, seconds = nil)
    @until[Fiber.current] = now + (seconds || LONG)
    Fiber.yield
  end

  def unblock(_blocker, fiber)
    @ready << fiber
    @wake.write(".")
  end

  private

  def waiting(event)
    @waiting.select { |_, (_, events)| events & event != 0 }.keys
  end

  def resume(fiber, value)
    @until.delete(fiber) && fiber.resume(value)
  end
end

# A thread of fibers, which wait for a descriptor, for a time, for a queue and for each other.
class Fibers
  def initialize
    return unless Fiber.respond_to?(:set_scheduler)
    @mine, theirs = UNIXSocket.pair
    Thread.new do
      Fiber.set_scheduler(Scheduler.new)
      Fiber.schedule { serve(theirs) }
    end
  end

  def step(number)
    return "-" unless @mine
    @mine.puts(number)
    @mine.gets.chomp
  end

  private

  def serve(socket)
    while (number = socket.gets)
      queue = Queue.new
      3.times do |each|
        Fiber.schedule do
          sleep(0.001 * each)
          queue << garbage(100 + each + number.to_i)
        end
      end
      socket.puts(Array.new(3) { queue.pop }.sum)
    end
  end
end

# A finalizer that wants a lock, which a thread holds that waits; there it fails, as anybody would who takes a lock twice.
class FinalizersThatLock
  def initialize
    @lock = Mutex.new
    @never, = IO.pipe
    @wanted = proc { @lock.synchronize { $finalized += 1 } }
    Thread.new { loop { @lock.synchronize { IO.select([@never], nil, nil, 0.05) } } }
  end

  def step(_number)
    finalized_by(20, @wanted)
    "20"
  end
end

# Nothing of it is seen, whatever is raised.
class FinalizersThatRaise
  ERRORS = [ArgumentError, SystemExit, Interrupt, NoMemoryError].map do |error|
    proc { ($finalized += 1) && raise(error, "in a finalizer") }
  end
  OTHERS = [proc { ($finalized += 1) && throw(:nowhere) }, proc { ($finalized += 1) && Thread.current.wakeup }].freeze

  def step(_number)
    [*ERRORS, *OTHERS].each { |finalizer| finalized_by(5, finalizer) }
    "30"
  end
end

# What is alive stays in it, and what is not goes at some time.
class WeakMaps
  def initialize
    @map = ObjectSpace::WeakMap.new
    @kept = Array.new(100) { |number| "kept #{number}" }
    @kept.each { |text| @map[text] = text }
    @reference = WeakRef.new(@kept.first)
  end

  def step(number)
    add(number)
    [@kept.count { |text| @map[text].equal?(text) }, @reference.weakref_alive?, @reference.to_s].join(" ")
  end

  private

  def add(number)
    100.times { |each| @map[value = "gone #{number} #{each}"] = value }
    finalized_by(5, COUNT_IT)
  end
end

# Each allocation collects, for a while: also in quiet, when there is a collection more.
class Stressed
  def step(number)
    GC.stress = true
    Thread.new do
      sleep(0.04)
      GC.stress = false
    end
    Array.new(20) { |each| (each * number).to_s }.join.length
  end
end

# One that takes longer than quiet must last; who asks meanwhile waits for it.
class FinalizersThatTakeLong
  LONG = proc do
    sleep(0.1)
    $finalized += 1
  end

  def step(_number)
    finalized_by(2, LONG)
    "2"
  end
end

class Compiled
  def step(number)
    compiler = defined?(RubyVM::YJIT) ? RubyVM::YJIT.enabled? : "-"
    finalized_by(5, COUNT_IT)
    "#{compiler} #{Array.new(200) { |each| (each * number) % 7 }.sum}"
  end
end

FEATURES = {
  "ractors" => Ractors, "fibers" => Fibers, "lock" => FinalizersThatLock, "raise" => FinalizersThatRaise, "weak" => WeakMaps,
  "yjit" => Compiled, "stress" => Stressed, "long" => FinalizersThatTakeLong
}.freeze

port, *names = ARGV
features = names.map { |name| FEATURES.fetch(name).new }
requests = 0
listener = TCPServer.new("127.0.0.1", port.to_i)
puts listener.local_address.ip_port
loop do
  IO.select([listener])
  client = listener.accept
  body = if client.readpartial(4096).start_with?("GET /tell")
    $finalized.to_s
  else
    requests += 1
    garbage
    [requests, *features.map { |feature| feature.step(requests) }].join(", ")
  end
  client.write("HTTP/1.1 200 OK\r\ncontent-length: #{body.bytesize}\r\nconnection: close\r\n\r\n#{body}")
  client.close
end
