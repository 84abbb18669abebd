#!/usr/bin/perl
# mail_dkim.pl dkim|arc - Mail::DKIM as a judge. Reads lines "now FILE" of orders from standard input after a first one that names a JSON file of
# TXT answers (name -> list); says for each message a JSON line: [[d, s, word, why], ...], or ["word", why] for ARC.
use strict;
use warnings;
my $now = 0;
BEGIN { *CORE::GLOBAL::time = sub () { $now } }
use JSON::PP;
use Mail::DKIM::Verifier;
use Mail::DKIM::ARC::Verifier;
use Mail::DKIM::DNS;

my $arc = $ARGV[0] eq 'arc';
my %zone;
{
	package Answer;
	sub new { my ($class, $text) = @_; return bless { text => $text }, $class }
	sub type { 'TXT' }
	sub char_str_list { my $text = $_[0]{text}; return unpack '(a255)*', $text }
	sub txtdata { my $self = shift; return wantarray ? $self->char_str_list : join '', $self->char_str_list }
	package Packet;
	sub new { my ($class, @answers) = @_; return bless { answers => \@answers }, $class }
	sub header { $_[0] }
	sub rcode { @{ $_[0]{answers} } ? 'NOERROR' : 'NXDOMAIN' }
	sub answer { @{ $_[0]{answers} } }
	package Resolver;
	sub new { bless {}, shift }
	sub errorstring { $_[0]{error} }
	sub send {
		my ($self, $name, $type) = @_;
		my $found = $zone{lc $name};
		$self->{error} = 'NOERROR';
		if (ref $found eq 'HASH') {
			$self->{error} = $found->{error} eq 'timeout' ? 'query timed out' : 'SERVFAIL';
			return undef;
		}
		$self->{error} = 'NXDOMAIN' unless $found && @$found;
		return Packet->new(map { Answer->new($_) } @{ $found || [] });
	}
	sub query { my $self = shift; my $got = $self->send(@_); return $got && $got->answer ? $got : undef }
}
Mail::DKIM::DNS::resolver(Resolver->new);

sub slurp { open my $in, '<:raw', $_[0] or die "$_[0]: $!"; local $/; return scalar <$in> }

$| = 1;
my $json = JSON::PP->new->latin1;
my $first = <STDIN>;
chomp $first;
%zone = %{ JSON::PP->new->utf8->decode(slurp($first)) };
while (my $line = <STDIN>) {
	chomp $line;
	(my $clock, my $file) = split / /, $line, 2;
	$now = $clock;
	my $judge = $arc ? Mail::DKIM::ARC::Verifier->new : Mail::DKIM::Verifier->new;
	my $out = eval {
		local $SIG{__WARN__} = sub { };
		$judge->PRINT(slurp($file));
		$judge->CLOSE;
		if ($arc) { [$judge->result, $judge->result_detail . ''] }
		else { [map { [$_->domain // '', $_->selector // '', $_->result, $_->result_detail . ''] } $judge->signatures] }
	};
	$out //= $arc ? ['permerror', "died: $@"] : [['', '', 'permerror', "died: $@"]];
	print $json->encode($out), "\n";
}
