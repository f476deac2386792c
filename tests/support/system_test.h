// SystemTest: the frame of a test program with one sandbox: daemon up, a first guest come and gone, nothing left after each.
#pragma once

#include "support/sandbox.h"

#include <QtTest/QtTest>

namespace lxmgr::test
{

class SystemTest : public QObject
{
    Q_OBJECT
private slots:
    void initTestCase();
    void init();
    void cleanup();
    void cleanupTestCase();

protected:
    /// `lxmgr args…` must succeed.
    void must(const QStringList &args, const QByteArray &input = {}, int timeoutMs = 120000);
    /// What `command…` prints inside, without white space at the ends; the whole failure where it ends with another
    /// status than 0.
    QByteArray inside(const QString &instance, const QStringList &command);
    Run exec(const QString &instance, const QStringList &command, const QByteArray &input = {});
    /// A running busybox guest; `extra` are more arguments of `launch`.
    void launch(const QString &name, const QStringList &extra = {});
    /// Puts the static probe into the guest as /probe.
    void giveProbe(const QString &name);
    /// Deletes all instances, running or not, but those of m_keep, and all that could be undone.
    void deleteAll();
    /// For a subject with work of its own before its first test; the daemon is up and a guest has been there.
    virtual void prepare() {}

    Sandbox m_box;
    Holdings m_first;   ///< Before prepare().
    Holdings m_before;  ///< Before the test function.
    QStringList m_keep; ///< Guests that stay from test to test; then what is left is compared at the end only.
};

} // namespace lxmgr::test
