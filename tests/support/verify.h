// VERIFY_OK and VERIFY_FAILS: Result checks that print the error.
#pragma once

#include "base/result.h"

#include <QtTest/QtTest>

#define VERIFY_OK(...)                                                                                                 \
    do {                                                                                                               \
        const auto &verifyResult = (__VA_ARGS__);                                                                      \
        if (!verifyResult)                                                                                             \
            QFAIL(verifyResult.error().message.c_str());                                                               \
    } while (false)

#define VERIFY_FAILS(expectedCode, ...)                                                                                \
    do {                                                                                                               \
        const auto &verifyResult = (__VA_ARGS__);                                                                      \
        QVERIFY2(!verifyResult, "expected an error");                                                                  \
        QVERIFY2(verifyResult.error().code == (expectedCode), verifyResult.error().message.c_str());                   \
    } while (false)
