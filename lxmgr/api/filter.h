// filter=: "[not] field eq|ne value" joined by and/or, evaluated left to right, over the JSON of an object.
#pragma once

#include "api/fields.h"
#include "api/json.h"
#include "base/result.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::api
{

class Filter
{
public:
    /// "" matches everything. Invalid with what is wrong; at most 8 KiB and 32 clauses.
    static Result<Filter> parse(std::string_view text);

    bool empty() const { return m_clauses.empty(); }
    bool matches(const Json &object) const;
    template <class T>
        requires HasFields<T>
    bool matches(const T &object) const
    {
        if (empty())
            return true;
        const Result<Json> json = Json::parse(toJson(object));
        return json && matches(*json);
    }

private:
    struct Pattern;
    struct Clause {
        bool negated = false;
        bool differs = false; ///< ne
        bool isOr = false;    ///< How it is joined to what stands before it.
        std::string field;
        std::string value;
        std::shared_ptr<const Pattern> pattern; ///< Null where the value is no regular expression.
    };
    static bool holds(const Clause &clause, const Json &object);

    std::vector<Clause> m_clauses;
};

} // namespace lxmgr::api
