// Traffic control of tc(8) by rtnetlink(7): how much a link sends, and how much is taken in from it.
#pragma once

#include "kernel/netlink.h"

namespace lxmgr::netlink
{

/// The link sends at most that many bits a second (a token bucket, tc-tbf(8)); 0: as much as it can. Replaces what was.
Status limitSending(const std::string &link, std::uint64_t bits);
/// The same for what comes in by `link`, which goes through a link `helper` of kind ifb first: made here, and gone with 0.
/// Unsupported where the kernel lacks what this takes.
Status limitReceiving(const std::string &link, const std::string &helper, std::uint64_t bits);

/// A port of a bridge does not reach others that are isolated (Linux 4.18).
Status setIsolated(const std::string &port, bool isolated);
/// A frame may leave by the port it came in by. bridge(8): hairpin.
Status setHairpin(const std::string &port, bool hairpin);

} // namespace lxmgr::netlink
