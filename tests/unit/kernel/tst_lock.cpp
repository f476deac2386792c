// Locks that a process holds for its life.
#include "kernel/lock.h"
#include "support/verify.h"

#include <QElapsedTimer>
#include <QTemporaryDir>
#include <QtTest/QtTest>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace lxmgr;

class TestLock : public QObject
{
    Q_OBJECT
private slots:
    void init() { m_path = m_folder.path().toStdString() + "/lock"; }
    void oneHasIt();
    void aChildThatIsLeftIsWaitedFor();

private:
    Fd open() const { return Fd(::open(m_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)); }

    QTemporaryDir m_folder;
    std::string m_path;
};

void TestLock::oneHasIt()
{
    Fd one = open();
    const Fd other = open();
    const auto first = files::lockExclusively(one);
    VERIFY_OK(first);
    QVERIFY(*first);
    const auto second = files::lockExclusively(other);
    VERIFY_OK(second);
    QVERIFY(!*second);
    one = Fd();
    const auto third = files::lockExclusively(other);
    VERIFY_OK(third);
    QVERIFY(*third);
}

/// As of a daemon that is killed while it starts a helper.
void TestLock::aChildThatIsLeftIsWaitedFor()
{
    Fd one = open();
    QVERIFY(files::lockExclusively(one).value_or(false));
    const pid_t child = ::fork();
    if (child == 0) {
        ::usleep(200'000); // it has the descriptor until it becomes another program
        ::_exit(0);
    }
    QVERIFY(child > 0);
    one = Fd();
    const Fd other = open();
    QElapsedTimer timer;
    timer.start();
    const auto locked = files::lockExclusively(other);
    VERIFY_OK(locked);
    QVERIFY(*locked);
    QVERIFY2(timer.elapsed() >= 100, QByteArray::number(timer.elapsed()));
    QCOMPARE(::waitpid(child, nullptr, 0), child);
}

QTEST_APPLESS_MAIN(TestLock)
#include "tst_lock.moc"
