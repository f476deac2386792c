#include "instances/states.h"

#include "base/failpoint.h"
#include "base/text.h"
#include "instances/state_progress.h"

#include <algorithm>
#include <sys/socket.h>
#include <unistd.h>

namespace lxmgr::instances
{

namespace
{

/// A folder that is open, by a path that a helper can open too.
std::string pathOf(const Fd &folder) { return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(folder.get()); }

} // namespace

Status endTransfer(MigrationLine &line, const MigrationChannel &channel, Status done)
{
    if (done)
        return done;
    Error error = line.reasonFor(std::move(done.error()));
    line.fail(error);
    ::shutdown(channel.data.get(), SHUT_RDWR);
    return error;
}

Status sendStates(const StatesToSend &states, MigrationLine &line, const MigrationChannel &channel, Progress &progress)
{
    const Offer &offer = states.offer;
    const auto layers = [&](const std::string &snapshot) -> Result<std::vector<std::string>> {
        if (std::ranges::find(offer.snapshots, snapshot, &store::Snapshot::name) == offer.snapshots.end())
            return Error(Code::NotFound, "Snapshot not found: " + quoted(snapshot) + " of " + quoted(offer.name));
        return states.layersOf(snapshot);
    };
    while (const auto asked = TRY(line.nextAsked())) {
        migrate::TreeJob job;
        job.layers = asked->state.empty() ? states.now : TRY(layers(asked->state));
        if (asked->before == kImageState)
            job.before = states.image;
        else if (asked->before)
            job.before = TRY(layers(*asked->before));
        StateProgress told(progress, "sending " + (asked->state.empty() ? offer.name : asked->state));
        TRY(asked->state.empty() ? failpoint("migrate.send.now") : failpoint("migrate.send.state"));
        TRY_IN(asked->state.empty() ? "files of " + quoted(offer.name) : "snapshot " + quoted(asked->state),
               migrate::runSender(states.helper, job, channel.data, told));
        TRY(line.sent());
    }
    return {};
}

Result<migrate::TreeResult> takeState(const StateTaker &taker, const Asked &wanted, const std::vector<Fd> &base, const Fd &to,
                                      const images::UnpackLimits &limits)
{
    TRY(failpoint("migrate.take.state"));
    migrate::TreeJob job;
    for (const Fd &layer : base)
        job.layers.push_back(pathOf(layer));
    job.devices = taker.devices;
    StateProgress told(taker.progress, "receiving " + (wanted.state.empty() ? taker.offer.name : wanted.state));
    TRY(taker.line.ask(wanted));
    auto taken = migrate::runTaker(taker.helper, job, taker.channel.data, to, limits, told);
    if (!taken) {
        ::shutdown(taker.channel.data.get(), SHUT_RDWR); // the other side may be in the middle of it
        return taker.line.reasonFor(std::move(taken.error()));
    }
    TRY(taker.line.awaitSent());
    return taken;
}

} // namespace lxmgr::instances
