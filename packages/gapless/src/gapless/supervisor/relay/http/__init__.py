"""One exchange of HTTP/1 that the relay carries from a client to a program."""
