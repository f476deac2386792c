// lxmgr-helper diff --before …  --after …: compares two root file systems, shut in with nothing but them.
#include "diff/packages.h"
#include "diff/report.h"
#include "diff/run.h"
#include "diff/walk.h"
#include "helper/modes.h"
#include "images/sandbox.h"

#include <csignal>

namespace lxmgr::helper
{

namespace
{

Status work(std::span<char *const> args, diff::Reporter &reporter)
{
    diff::Job job;
    TRY(diff::parseArguments(args, job));
    const diff::Trees trees = TRY(diff::open(job));
    std::vector<const Fd *> readable = {&trees.before.root, &trees.after.root};
    if (trees.layers)
        for (const Fd &layer : *trees.layers)
            readable.push_back(&layer);
    TRY(images::shutInTreeReader(readable));
    reporter.opened();
    const diff::Listener listener{[&](const diff::Change &change) { reporter.change(change); },
                                  [&](const std::string &warning) { reporter.warning(warning); }};
    TRY(diff::compareTrees(trees, listener));
    for (diff::Packages &packages : diff::comparePackagesIn(trees.before.root, trees.after.root))
        reporter.packages(std::move(packages));
    return {};
}

} // namespace

int diff(std::span<char *const> args)
{
    ::signal(SIGPIPE, SIG_IGN);
    const Fd report(diff::kReportFd);
    diff::Reporter reporter(report);
    if (const Status done = work(args, reporter); !done) {
        reporter.failed(done.error());
        return 1;
    }
    reporter.done();
    return 0;
}

} // namespace lxmgr::helper
