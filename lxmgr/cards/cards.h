// Network cards of guests: made and put inside, taken out again, and what of them is on the host taken back after a guest's
// end. Monitor and daemon use it: whoever of the two sees the end.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "spec/launch.h"

#include <string>
#include <sys/types.h>

namespace lxmgr::cards
{

/// A running guest's network namespace, by its first process.
struct Inside {
    pid_t pid = 0;
    int netns = -1; ///< Pidfd of the process, or an fd of the namespace.
    /// Runtime folder of the instance. While a guest has a card of the host, its namespace is bound at "net" in there:
    /// the kernel would bring such a card back by itself only to the machine's first namespace, and not as it was.
    std::string runDir;
};

/// The card is inside; what only this moment knows of it is filled into `card`. After an error it is not, and nothing is left.
Status plug(const Inside &guest, spec::Nic &card);
/// The other way; one that the guest itself deleted is no error.
Status unplug(const Inside &guest, const spec::Nic &card);

/// `before` is inside and stays; limits and routes become those of `after`. After an error they are as they were.
Status retune(const spec::Nic &before, const spec::Nic &after);

/// What is left on the host of the cards of a guest that has ended: a card of the host comes back, by the name, MAC address
/// and mtu it had. All are tried; the first error is reported. Idempotent.
Status withdraw(const std::string &runDir, const std::vector<spec::Nic> &cards);

} // namespace lxmgr::cards
