# Holds 20 strings of 20 MB for a moment, and serves nothing. Prints the anonymous RSS in MiB afterwards.

large = Array.new(20) { "x" * 20_000_000 }
small = Array.new(1000) { "y" * 600 }
large.clear
GC.start
puts File.read("/proc/self/status")[/RssAnon:\s+(\d+)/, 1].to_i / 1024
small.clear
