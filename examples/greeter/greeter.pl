#!/usr/bin/perl
# Answers each request with the greeting. Perl's base is on every Debian and Ubuntu host.
use strict;
use warnings;

$| = 1;
$SIG{PIPE} = 'IGNORE';

# systemd hands the listening socket over as descriptor 3.
open(my $listener, '+<&=', 3) or die "no socket from systemd: $!\n";
while (accept(my $client, $listener)) {
    my $request = <$client> // next;
    while (my $header = <$client>) {
        last if $header =~ /^\r?\n$/;
    }
    open(my $file, '<', '/usr/local/lib/greeter/greeting.txt') or die "no greeting: $!\n";
    my $greeting = do { local $/; <$file> };
    print $client "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n",
        'Content-Length: ', length($greeting), "\r\nConnection: close\r\n\r\n";
    print $client $greeting unless $request =~ /^HEAD /;
    close($client);
    $request =~ s/\s+$//;
    print "$request\n";
}
