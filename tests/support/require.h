// NEEDS: skips a test by the name of what this machine lacks; LXMGR_TEST_REQUIRE=root,cgroup2 turns such a skip into a failure.
#pragma once

#include <QtTest/QtTest>

#define NEEDS(name, ...)                                                                                               \
    do {                                                                                                               \
        if (!(__VA_ARGS__)) {                                                                                          \
            const QByteArrayList required = qgetenv("LXMGR_TEST_REQUIRE").split(',');                                  \
            QVERIFY2(!required.contains(name), "required, but missing: " name);                                        \
            QSKIP("needs " name);                                                                                      \
        }                                                                                                              \
    } while (false)
