package registry

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// refusedNetworks are where no registry is: the machine itself, its link, many
// machines at once, and the metadata services that hand out a cloud's
// credentials to whoever asks.
var refusedNetworks = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"), // link-local, and metadata of most clouds
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle Cloud
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure
	netip.MustParsePrefix("::/128"),
	netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
	netip.MustParsePrefix("fd00:ec2::/32"),    // Amazon
	netip.MustParsePrefix("fd20:ce::254/128"), // Google Cloud
}

// nat64 and sixToFour are networks whose addresses contain an IPv4 address that
// a gateway may forward to.
var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
)

// refuses reports whether the address is one we do not dial.
func refuses(addr netip.Addr, except []netip.Prefix) bool {
	addr = addr.WithZone("").Unmap()
	contains := func(p netip.Prefix) bool { return p.Contains(addr) }
	if slices.ContainsFunc(except, contains) {
		return false
	}
	if slices.ContainsFunc(refusedNetworks, contains) {
		return true
	}
	bytes := addr.As16()
	switch {
	case nat64.Contains(addr):
		return refuses(netip.AddrFrom4([4]byte(bytes[12:])), except)
	case sixToFour.Contains(addr):
		return refuses(netip.AddrFrom4([4]byte(bytes[2:6])), except)
	}
	return false
}

// numeric matches hosts that end in a number: an IPv4 address, if not in one of
// the spellings that only some resolvers know, such as 2130706433 and 0x7f.1.
var numeric = regexp.MustCompile(`(?i)(^|\.)(\d+|0x[0-9a-f]*)\.?$`)

// refusesHost reports whether a host, without port, is the address of one we do
// not dial. Names are judged when they have been resolved.
func refusesHost(host string, except []netip.Prefix) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return refuses(addr, except)
	}
	return strings.Contains(host, "%") || numeric.MatchString(host)
}

// unmapped returns the networks in the form in which addresses are compared.
func unmapped(networks []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(networks))
	for _, network := range networks {
		if network.Addr().Is4In6() && network.Bits() >= 96 {
			network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
		}
		out = append(out, network.Masked())
	}
	return out
}
