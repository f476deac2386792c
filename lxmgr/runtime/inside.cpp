#include "runtime/inside.h"

#include "kernel/process.h"
#include "kernel/sys.h"
#include "runtime/handshake.h"
#include "runtime/ids.h"
#include "spec/spawn.h"

#include <chrono>
#include <sched.h>

namespace lxmgr::runtime
{

namespace
{

/// Up to the child's last word.
Status listenTo(spec::Channel &child, const std::function<void(spec::Packet &)> &take)
{
    for (;;) {
        auto packet = child.receive();
        if (!packet)
            return std::move(packet.error()).hint("something in the guest holds the path up");
        if (!*packet)
            return Error(Code::Internal, "the process that entered the guest died");
        if ((*packet)->type == spec::MessageType::Done)
            return {};
        if ((*packet)->type == wire(Handshake::Failed) || !take)
            return spec::failureOf(**packet);
        take(**packet);
    }
}

} // namespace

Status inChild(const std::function<Status(spec::Channel &)> &work, const std::function<void(spec::Packet &)> &take, std::chrono::seconds patience)
{
    auto [ours, theirs] = TRY(spec::Channel::pair());
    const auto body = [&, &ours = ours, &theirs = theirs] {
        ours = spec::Channel();
        const Status done = work(theirs);
        if (!done)
            return theirs.send(wire(Handshake::Failed), spec::encodeFailure(done.error())) ? 0 : 1;
        return theirs.send(spec::MessageType::Done) ? 0 : 1;
    };
    const process::Child child = TRY(process::clone(0, Fd(), body));
    theirs = spec::Channel();
    ours.setDeadline(std::chrono::steady_clock::now() + patience);
    Status done = listenTo(ours, take);
    process::killChild(child.pid); // it has answered, or never will
    (void)process::wait(child.pid);
    return done;
}

Status becomeGuestRoot(const spec::LaunchSpec &spec, const Guest &guest)
{
    const bool privileged = Ids::of(spec.idmap).privileged();
    TRY(sys::setns(guest.initPidfd, (privileged ? 0 : CLONE_NEWUSER) | CLONE_NEWNS));
    TRY(sys::setgroups({}));
    TRY(sys::setresgid(0));
    return sys::setresuid(0);
}

} // namespace lxmgr::runtime
