// Result<T> and Status: a value or an Error, checked by the compiler; TRY and TRY_IN pass errors on.
#pragma once

#include "base/error.h"

#include <tl/expected.hpp>

namespace lxmgr
{

template <class T> class [[nodiscard]] Result : public tl::expected<T, Error>
{
public:
    using tl::expected<T, Error>::expected;
    Result(Error error) : tl::expected<T, Error>(tl::unexpect, std::move(error)) {} // NOLINT: implicit by design
};

template <> class [[nodiscard]] Result<void> : public tl::expected<void, Error>
{
public:
    using tl::expected<void, Error>::expected;
    Result(Error error) : tl::expected<void, Error>(tl::unexpect, std::move(error)) {} // NOLINT: implicit by design
};

using Status = Result<void>;

namespace detail
{
template <class T> T takeValue(Result<T> &result) { return std::move(*result); }
inline void takeValue(Result<void> &) {}
} // namespace detail

} // namespace lxmgr

#define LXMGR_CAT_(a, b) a##b
#define LXMGR_CAT(a, b) LXMGR_CAT_(a, b)
#define LXMGR_TRY_(var, expr, wrap)                                                                                    \
    __extension__({                                                                                                    \
        auto var = (expr);                                                                                             \
        if (!var) [[unlikely]]                                                                                         \
            return wrap(std::move(var.error()));                                                                       \
        ::lxmgr::detail::takeValue(var);                                                                               \
    })
#define LXMGR_PASS(error) error
/// The value of `expr`, or return its Error from this function.
#define TRY(...) LXMGR_TRY_(LXMGR_CAT(tryResult, __COUNTER__), (__VA_ARGS__), LXMGR_PASS)
/// The same, with "context: " put in front of the message.
#define TRY_IN(context, ...)                                                                                           \
    __extension__({                                                                                                    \
        auto tryInResult = (__VA_ARGS__);                                                                              \
        if (!tryInResult) [[unlikely]]                                                                                 \
            return std::move(tryInResult.error()).in(context);                                                         \
        ::lxmgr::detail::takeValue(tryInResult);                                                                       \
    })
