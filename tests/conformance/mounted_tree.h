// A root file system as a guest has it, mounted where a test can look at it and change it.
#pragma once

#include "conformance/tree_manifest.h"
#include "kernel/mount.h"
#include "kernel/sys.h"
#include "storage/driver.h"

#include <QtCore/QTemporaryDir>
#include <string>
#include <sys/mount.h>
#include <vector>

namespace lxmgr::test
{

/// The root file system as a guest sees it; overlay is mounted for that as the monitor does, in this (private) mount
/// namespace.
class Mounted
{
public:
    explicit Mounted(const storage::RootTree &tree) : m_overlay(tree.kind == storage::RootTree::Kind::Overlay), m_path(tree.directory)
    {
        if (!m_overlay)
            return;
        m_path = m_folder.path().toStdString();
        if (const Status mounted = mount(tree); !mounted) {
            qWarning("%s", mounted.error().message.c_str());
            m_ok = false;
        }
    }
    Mounted(const Mounted &) = delete;
    Mounted &operator=(const Mounted &) = delete;
    ~Mounted()
    {
        if (m_overlay)
            ::umount2(m_path.c_str(), 0);
    }
    bool ok() const { return m_ok; }
    std::string at(const std::string &path) const { return m_path + "/" + path; }
    Manifest manifest() const { return lxmgr::test::manifestOf(m_path); }
    const std::string &path() const { return m_path; }

private:
    Status mount(const storage::RootTree &tree)
    {
        std::vector<Fd> lower;
        for (const std::string &layer : tree.lower)
            lower.push_back(TRY(sys::open_tree(sys::cwd(), layer, sys::Recursive::No)));
        const Fd layer = tree.layer.empty() ? Fd() : TRY(sys::open_tree(sys::cwd(), tree.layer, sys::Recursive::No));
        const Fd root = TRY(mount::overlay(lower, tree.layer.empty() ? nullptr : &layer, 0, 0, 0));
        return sys::move_mount(root, sys::cwd(), m_path);
    }

    bool m_overlay;
    bool m_ok = true;
    QTemporaryDir m_folder;
    std::string m_path;
};

} // namespace lxmgr::test
