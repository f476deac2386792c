// Running a program to its end, or on a terminal, and keeping what it said.
#pragma once

#include <QByteArray>
#include <QProcessEnvironment>
#include <QString>
#include <QStringList>

#include <vector>

#include <sys/types.h>

namespace lxmgr::test
{

/// How a program ended. `status`: its exit status, 128 + signal, or -1 where it could not be started or took too long.
struct Run {
    int status = -1;
    QByteArray out;
    QByteArray err;
    QString command;

    bool ok() const { return status == 0; }
    /// The command, its status and all it printed: the text of a failed check.
    QByteArray told() const;
};

struct RunOptions {
    QByteArray input;
    int timeoutMs = 60000;
    QProcessEnvironment environment = QProcessEnvironment::systemEnvironment();
    QString workingDirectory;
};

Run run(const QStringList &argv, const RunOptions &options = {});

/// A program on a pseudo-terminal, as a person would see it.
class Terminal
{
public:
    Terminal(const QStringList &argv, const QProcessEnvironment &environment, int columns = 80, int rows = 24);
    ~Terminal();
    Terminal(const Terminal &) = delete;
    Terminal &operator=(const Terminal &) = delete;

    void type(const QByteArray &keys);
    void resize(int columns, int rows);
    /// Reads until `text` was printed; false at the end of output or after `timeoutMs`.
    bool expect(const QByteArray &text, int timeoutMs = 20000);
    /// Reads to the end and gives the exit status as Run has it.
    int finish(int timeoutMs = 20000);
    /// All that was printed so far.
    const QByteArray &seen() const { return m_seen; }

private:
    bool readSome(int timeoutMs);
    int m_master = -1;
    pid_t m_pid = -1;
    QByteArray m_seen;
    qsizetype m_matched = 0;
};

} // namespace lxmgr::test

/// Fails the test function with all the program said unless it ended with `expected`.
#define RUN_ENDS(result, expected)                                                                                     \
    do {                                                                                                               \
        const auto &runResult = (result);                                                                              \
        QVERIFY2(runResult.status == (expected),                                                                       \
                 (QByteArray("expected exit status ") + QByteArray::number(expected) + "\n" + runResult.told())        \
                     .constData());                                                                                    \
    } while (false)
#define RUN_OK(result) RUN_ENDS(result, 0)
