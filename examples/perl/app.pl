#!/usr/bin/perl
# A Perl program that knows nothing of gapless: processes forked in advance.
use strict;
use warnings;
use Errno;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_RCVTIMEO);

my $PATIENCE_S = 20;    # with a client that stops in the middle of its request

open(my $file, "<", "VERSION") or die "VERSION: $!";
chomp(my $release = <$file>);
my $listener = IO::Socket::INET->new(
    LocalAddr => '127.0.0.1', LocalPort => $ENV{PORT} // 8003, Listen => 100, ReuseAddr => 1,
) or die "cannot listen: $!";
$SIG{PIPE} = 'IGNORE';

my @children;
for (1 .. 3) {
    my $child = fork // die "cannot fork: $!";
    if (!$child) { @children = (); last }
    push @children, $child;
}
my ($busy, $leaving);
$SIG{TERM} = sub {
    kill TERM => @children;
    $leaving = 1;
    exit 0 unless $busy;
};

until ($leaving) {
    my $client = $listener->accept or next;
    $busy = 1;
    answer($client);
    close $client;
    $busy = 0;
}

sub answer {
    my ($client) = @_;
    setsockopt($client, SOL_SOCKET, SO_RCVTIMEO, pack('l!l!', $PATIENCE_S, 0));
    my $text = '';
    while ($text !~ /\r\n\r\n/) {
        return unless receive($client, \$text);
    }
    my ($head, $body) = split /\r\n\r\n/, $text, 2;
    my ($length) = $head =~ /^content-length:\s*(\d+)/mi;
    while (length($body) < ($length // 0)) {
        return unless receive($client, \$body);
    }
    select(undef, undef, undef, $1) if $head =~ m{^GET /slow\?s=([0-9.]+)};
    $body = "release $release pid $$\n" if $head =~ /^GET/;
    my $answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nX-Release: release $release\r\n"
        . "Content-Length: " . length($body) . "\r\n\r\n$body";
    while (length $answer) {
        my $sent = syswrite($client, $answer);
        next if !defined $sent && $!{EINTR};
        return unless $sent;
        substr($answer, 0, $sent) = '';
    }
    # Wait for the client to close first: a close with unread bytes would reset.
    shutdown($client, 1);
    my $rest;
    1 while receive($client, \$rest);
}

# Append what arrives; false at the end.  A signal interrupts a read, and ends none.
sub receive {
    my ($client, $text) = @_;
    while (1) {
        my $count = sysread($client, $$text, 65536, length($$text // ''));
        return $count if defined $count || !$!{EINTR};
    }
}
