// The server's side of SFTP version 3 (draft-ietf-secsh-filexfer-02, with OpenSSH's extensions) on the files below one folder.
// What comes in is a client's, what lies below the folder a guest's: neither is trusted.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace lxmgr::monitor
{

/// One client's session: packets in, replies out, without the connection.
class SftpSession
{
public:
    static constexpr std::size_t kMostPacket = 256 << 10; ///< Of a packet's bytes behind its length.
    static constexpr std::size_t kMostRead = 255 << 10;   ///< Of one READ, however much was asked for.
    static constexpr std::size_t kMostHandles = 256;
    static constexpr std::size_t kMostPath = 4096;

    /// `root` outlives it; paths mean what they mean with it as "/".
    explicit SftpSession(const Fd &root);
    ~SftpSession();
    SftpSession(const SftpSession &) = delete;
    SftpSession &operator=(const SftpSession &) = delete;

    /// Takes whole packets off the front of `input` and appends the replies to `output`, until `input` has no whole one, or
    /// `output` is long enough to be sent first. Gives how much of `input` is used up. Invalid: what comes is not SFTP.
    Result<std::size_t> take(std::string_view input, std::string &output);

private:
    class Impl;
    std::unique_ptr<Impl> m_impl;
};

/// Serves the client at the other end of `socket`, whose first bytes were `already`, until it goes, or one of `ends` becomes
/// readable or hangs up (-1: none).
Status serveSftp(const Fd &root, const Fd &socket, const std::string &already, std::array<int, 2> ends);

} // namespace lxmgr::monitor
