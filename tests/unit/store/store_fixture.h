// A database in a folder of its own for each test.
#pragma once

#include "store/database.h"
#include "support/verify.h"

#include <QtCore/QTemporaryDir>

struct StoreFixture {
    QTemporaryDir folder;
    std::string path = folder.filePath("lxmgr.db").toStdString();
    std::unique_ptr<lxmgr::store::Database> db;

    StoreFixture()
    {
        auto opened = lxmgr::store::Database::open(path);
        if (!opened)
            qFatal("%s", opened.error().message.c_str());
        db = std::move(*opened);
    }
};
