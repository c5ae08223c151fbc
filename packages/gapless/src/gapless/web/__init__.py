"""The web page of one host, `gapless web`: it speaks to the supervisor as a client.

Rule 1: the supervisor is asked by one poller for all browsers, for a bounded share of a
processor, and not at all while nobody looks.
Rule 2: what comes from apps is text: the page is fixed files, whose scripts set text only.
Rule 3: each request is refused in `gate.py` unless its host, its cookie and its origin are
right; no other module decides about that.
"""
