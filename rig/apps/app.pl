#!/usr/bin/perl
# Does what wsgi_app.py does, in Perl: processes are forked at the start, and each serves
# one connection at a time.
use strict;
use warnings;
use IO::Socket::INET;
use Time::HiRes qw(sleep);

my $release = $ENV{RELEASE} // '0';
my $listener = IO::Socket::INET->new(
    LocalAddr => '127.0.0.1', LocalPort => $ENV{PORT}, Listen => 100, ReuseAddr => 1,
) or die "cannot listen: $!";
$SIG{PIPE} = 'IGNORE';
for (1 .. 3) { last unless fork }

while (my $client = $listener->accept) {
    my $text = '';
    while ($text !~ /\r\n\r\n/) {
        last unless sysread($client, $text, 65536, length $text);
    }
    my ($head, $body) = split /\r\n\r\n/, $text, 2;
    next unless defined $body;
    my ($length) = $head =~ /content-length:\s*(\d+)/i;
    while (length($body) < ($length // 0)) {
        last unless sysread($client, $body, 65536, length $body);
    }
    sleep($1) if $head =~ m{^GET /slow\?s=([0-9.]+)};
    $body = "release $release pid $$\n" if $head =~ /^GET/;
    my $answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nX-Release: release $release\r\n"
        . "Content-Length: " . length($body) . "\r\n\r\n$body";
    while (length $answer) {
        my $sent = syswrite($client, $answer);
        last unless $sent;
        substr($answer, 0, $sent) = '';
    }
    close $client;
}
