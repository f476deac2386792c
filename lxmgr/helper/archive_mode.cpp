#include "helper/modes.h"

#include "images/report.h"

#include <clocale>
#include <csignal>
#include <sys/stat.h>

namespace lxmgr::helper
{

int readArchive(const Fd &report, const std::function<Status()> &work)
{
    // Names in archives are UTF-8 for libarchive to know; with "C" it would refuse all others than ASCII.
    (void)std::setlocale(LC_CTYPE, "C.UTF-8");
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGXFSZ, SIG_IGN); // the limit on a file's size is then an error that names it
    ::umask(0);
    if (const Status done = work(); !done) {
        images::sendError(report, done.error());
        return 1;
    }
    images::sendReport(report, images::ReportKind::Done, {});
    return 0;
}

} // namespace lxmgr::helper
