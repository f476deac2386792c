// Channel: whole messages with descriptors over a SOCK_SEQPACKET unix socket; big bodies travel in a memfd.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "spec/messages.h"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lxmgr::spec
{

struct Packet {
    MessageType type = MessageType::Failed;
    std::string body; ///< Encoded with spec/codec.h.
    std::vector<Fd> fds;
};

/// One end. Not thread-safe; blocking unless the descriptor is set otherwise.
class Channel
{
public:
    static constexpr std::size_t kMaxBody = 64U << 20;
    static constexpr std::size_t kMaxFds = 8;

    Channel() = default;
    explicit Channel(Fd socket) : m_socket(std::move(socket)) {}

    static Result<std::pair<Channel, Channel>> pair();
    /// Unavailable when nobody listens at `path`.
    static Result<Channel> connect(const std::string &path);
    /// A listening socket at `path`, mode 0600; what was there is replaced.
    static Result<Fd> listen(const std::string &path);

    /// From here on no send or receive waits beyond `deadline`: Timeout then.
    void setDeadline(std::chrono::steady_clock::time_point deadline) { m_deadline = deadline; }

    Status send(MessageType type, std::string_view body = {}, const std::vector<int> &fds = {});
    /// nullopt at the end of the stream, and on a non-blocking socket with Code::Unavailable and EAGAIN.
    Result<std::optional<Packet>> receive();

    int fd() const { return m_socket.get(); }
    explicit operator bool() const { return static_cast<bool>(m_socket); }
    Fd release() { return std::move(m_socket); }

private:
    Status awaitReady(short events) const;

    Fd m_socket;
    std::optional<std::chrono::steady_clock::time_point> m_deadline;
};

} // namespace lxmgr::spec
