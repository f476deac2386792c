// Packets: text with descriptors over a SOCK_SEQPACKET unix socket, and how descriptors are taken out of any message (unix(7)).
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <string>
#include <string_view>
#include <sys/socket.h>
#include <vector>

namespace lxmgr
{

inline constexpr std::size_t kMostPacketFds = 8;

struct TextPacket {
    std::string text;
    std::vector<Fd> fds;
};

/// Adds what came with `message` (SCM_RIGHTS), which was received with MSG_CMSG_CLOEXEC.
void takeDescriptors(const msghdr &message, std::vector<Fd> &fds);
/// Unavailable: nobody is there any more.
Status sendPacket(const Fd &socket, std::string_view text, const std::vector<int> &fds = {});
/// Waits for the next one. Unavailable at the end of the stream; Corrupt: more than 128 KiB or 8 descriptors.
Result<TextPacket> receivePacket(const Fd &socket);

} // namespace lxmgr
