// Listing folders: in an order that disks like, and never short of what could not be read.
#include "kernel/path.h"
#include "kernel/sys.h"
#include "support/verify.h"
#include "trees/copy.h"
#include "trees/entries.h"

#include <QDir>
#include <QFile>
#include <QTemporaryDir>
#include <cerrno>
#include <cstddef>
#include <functional>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace lxmgr;

namespace
{

Status listByPath(const Fd &folder)
{
    (void)TRY(path::list(folder));
    return {};
}

Status listByEntries(const Fd &folder)
{
    trees::Entries entries = TRY(trees::Entries::open(folder));
    while (TRY(entries.next())) {
    }
    return {};
}

/// errno of `work` in a process in which no folder can be listed: getdents64(2) says that the disk is broken. 0: it found nothing wrong.
int onABrokenDisk(const std::function<Status()> &work)
{
    const pid_t child = ::fork();
    if (child == 0) {
        sock_filter rules[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getdents64, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EIO),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        const sock_fprog program{std::size(rules), rules};
        if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
            ::_exit(255);
        const Status done = work();
        ::_exit(done ? 0 : done.error().errnum);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

} // namespace

class tst_folders : public QObject
{
    Q_OBJECT
private slots:
    void init()
    {
        m_dir = std::make_unique<QTemporaryDir>();
        QVERIFY(QDir(m_dir->path()).mkdir("from") && QDir(m_dir->path()).mkdir("to"));
        for (int i = 0; i < 500; ++i) {
            QFile file(m_dir->filePath(QString("from/%1").arg(i * 7919 % 500)));
            QVERIFY(file.open(QIODevice::WriteOnly));
        }
        m_from = *sys::open(m_dir->filePath("from").toStdString(), O_RDONLY | O_DIRECTORY);
        m_to = *sys::open(m_dir->filePath("to").toStdString(), O_RDONLY | O_DIRECTORY);
    }

    void entriesComeInTheOrderOfTheirInodes()
    {
        auto entries = trees::Entries::open(m_from);
        VERIFY_OK(entries);
        ino_t last = 0;
        int count = 0;
        for (;;) {
            const auto entry = entries->next();
            VERIFY_OK(entry);
            if (!*entry)
                break;
            ++count;
            QVERIFY((*entry)->inode > last);
            last = (*entry)->inode;
            QCOMPARE(sys::fstatat(m_from, (*entry)->name)->st_ino, last);
            QCOMPARE((*entry)->type, static_cast<unsigned char>(DT_REG));
        }
        QCOMPARE(count, 500);
        const auto names = path::list(m_from);
        VERIFY_OK(names);
        QCOMPARE(names->size(), 500U);
        last = 0;
        for (const std::string &name : *names) {
            const ino_t inode = sys::fstatat(m_from, name)->st_ino;
            QVERIFY(inode > last);
            last = inode;
        }
    }

    void whatCannotBeReadIsNotEmpty()
    {
        QCOMPARE(onABrokenDisk([&] { return listByPath(m_from); }), EIO);
        QCOMPARE(onABrokenDisk([&] { return listByEntries(m_from); }), EIO);
        QCOMPARE(onABrokenDisk([&] { return trees::copyTree(m_from, m_to, trees::Source::Still); }), EIO);
        QCOMPARE(onABrokenDisk([&] { return trees::copyTree(m_from, m_to, trees::Source::Changing); }), EIO);
        VERIFY_OK(trees::copyTree(m_from, m_to, trees::Source::Still));
        QCOMPARE(path::list(m_to)->size(), 500U);
    }

private:
    std::unique_ptr<QTemporaryDir> m_dir;
    Fd m_from, m_to;
};

QTEST_GUILESS_MAIN(tst_folders)
#include "tst_folders.moc"
