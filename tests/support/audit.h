// Audit: what a sandbox's daemon and guests have on the machine, to compare before and after.
#pragma once

#include <QMap>
#include <QString>
#include <QStringList>

namespace lxmgr::test
{

/// Category ("mount", "cgroup", "link", "process", "loop", "socket", "file", "netns", "row") → sorted items of ours.
using Holdings = QMap<QString, QStringList>;

/// Where to look: a sandbox's folder, its cgroup folder below each hierarchy, and the calling thread's network namespace.
struct AuditScope {
    QString directory;
    QString stateDir;
    QString cgroupBase;
    bool network = true; ///< Whether the network namespace is its own.
};

/// The scope's cgroup folder, of each hierarchy where it is.
QStringList cgroupBases(const AuditScope &scope);
Holdings takeStock(const AuditScope &scope);
/// "+ mount: …" for what came, "- mount: …" for what went, in the categories of `before`; empty when nothing changed.
QStringList difference(const Holdings &before, const Holdings &after);
/// Processes that belong to the sandbox: pid → command line. Found by network namespace, cgroup or environment.
QMap<int, QString> processesOf(const AuditScope &scope);

} // namespace lxmgr::test
