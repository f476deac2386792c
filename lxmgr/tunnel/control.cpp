#include "tunnel/control.h"

#include "base/packet.h"

namespace lxmgr::tunnel
{

Result<Order> Control::receive()
{
    TextPacket packet = TRY(receivePacket(m_fd));
    return Order{TRY(api::fromJson<api::TunnelRequest>(packet.text)), std::move(packet.fds)};
}

void Control::reply(const api::TunnelReply &reply, int fd)
{
    // Nobody there shows at the next receive().
    (void)!sendPacket(m_fd, api::toJson(reply), fd >= 0 ? std::vector<int>{fd} : std::vector<int>{});
}

void Control::fail(const Error &error) { reply({error.message, std::string(codeInfo(error.code).name), {}, {}, {}}); }

} // namespace lxmgr::tunnel
