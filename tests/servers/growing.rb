# A Puma whose memory grows. Every path answers a few bytes.
#
#   ruby growing.rb PORT
#
#   /leak/BYTES     keeps a string of so much for good
#   anything else   nothing that stays
#
# Prints its port.

$stdout.sync = true

require "puma"

LEAKED = []

APPLICATION = lambda do |environment|
  _, work, bytes = environment["PATH_INFO"].split("/")
  LEAKED << ("x" * Integer(bytes)) if work == "leak"
  [200, { "content-type" => "text/plain", "content-length" => "3" }, ["ok\n"]]
end

server = Puma::Server.new(APPLICATION)
puts server.add_tcp_listener("127.0.0.1", ARGV[0].to_i).local_address.ip_port
server.run.join
