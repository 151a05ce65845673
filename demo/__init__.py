"""A server under load, plain and with libautotrim preloaded, side by side, and beside what is live.

options   the command line
rows      the data: an SQLite file and the query that reads it, or lines of JSON
app       the applications that answer with it: WSGI and ASGI, Rack (.ru), and Node (.js)
pulp      a Pulp, which has an application and data of its own
programs  the servers: their commands, and what they are asked for
server    starts and stops one
load      the requests and the client that sends them
sampler   RSS and CPU of the worker, from /proc
trimlog   what libautotrim wrote to the server's log
measure   one run: server, load, samples, log and what is live together
report    the table
plot      RSS over requests, as PNG and in the terminal
"""
