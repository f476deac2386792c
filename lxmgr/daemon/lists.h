// Lists of resources: their URLs, or with ?recursion=1 themselves.
#pragma once

#include "api/json.h"
#include "daemon/server.h"

#include <string>
#include <utility>

namespace lxmgr::daemon
{

/// Answers with `rows` as `urlOf` names them, or as `make` makes resources of them.
template <class Rows, class Url, class Make>
void sendList(const Request &request, const Responder &responder, const Rows &rows, const Url &urlOf, const Make &make)
{
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    for (const auto &row : rows) {
        if (request.recursion() == 0)
            writer.string(urlOf(row));
        else
            writeJson(writer, make(row));
    }
    writer.endArray();
    responder.sync(std::move(json));
}

} // namespace lxmgr::daemon
