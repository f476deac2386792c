// Numbers and texts in a row of bytes, for jobs that go to a helper of the same build.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr
{

class PieceWriter
{
public:
    void number(std::uint64_t value) { m_bytes.append(reinterpret_cast<const char *>(&value), sizeof value); }
    void text(std::string_view value)
    {
        number(value.size());
        m_bytes.append(value);
    }
    void texts(const std::vector<std::string> &values)
    {
        number(values.size());
        for (const std::string &value : values)
            text(value);
    }
    std::string take() && { return std::move(m_bytes); }

private:
    std::string m_bytes;
};

/// Takes what PieceWriter put, piece by piece. Corrupt where it ends too early.
class PieceReader
{
public:
    explicit PieceReader(std::string_view bytes) : m_rest(bytes) {}
    Result<std::uint64_t> number()
    {
        std::uint64_t value = 0;
        if (m_rest.size() < sizeof value)
            return cut();
        std::memcpy(&value, m_rest.data(), sizeof value);
        m_rest.remove_prefix(sizeof value);
        return value;
    }
    Result<std::string> text()
    {
        const std::uint64_t size = TRY(number());
        if (size > m_rest.size())
            return cut();
        std::string value(m_rest.substr(0, size));
        m_rest.remove_prefix(size);
        return value;
    }
    Result<std::vector<std::string>> texts()
    {
        std::vector<std::string> values;
        for (std::uint64_t left = TRY(number()); left > 0; --left)
            values.push_back(TRY(text()));
        return values;
    }

private:
    static Error cut() { return {Code::Corrupt, "the helper's job cannot be read"}; }
    std::string_view m_rest;
};

} // namespace lxmgr
