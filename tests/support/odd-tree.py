#!/usr/bin/python3
"""odd-tree.py ROOT: puts into ROOT one file of each kind a backup has to keep.
odd-tree.py --show ROOT NAME: a line for each entry of ROOT: kind, mode, owner, size, device, links, attributes, content."""
import hashlib, os, stat, struct, sys

def make(root):
    os.chdir(root)
    def put(name, content, uid=0, gid=0, mode=0o644):
        with open(name, 'wb') as file:
            file.write(content)
        os.chown(name, uid, gid)
        os.chmod(name, mode)
    put('etc/app.conf', b'first\n')
    put('bin/cap', b'#!/bin/sh\n', mode=0o755)
    os.setxattr('bin/cap', 'security.capability', struct.pack('<IIIII', 0x02000001, 1 << 10, 0, 0, 0))
    put('root/attr', b'x\n')
    os.setxattr('root/attr', 'user.note', b'\x00\x01bin\xff')
    put('root/acl', b'a\n')
    none = 0xffffffff
    rows = [(1, 6, none), (2, 4, 1000), (4, 4, none), (16, 4, none), (32, 4, none)]
    os.setxattr('root/acl', 'system.posix_acl_access', struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *row) for row in rows))
    put('root/owned', b'mine\n', 1000, 65535, 0o4755)
    os.link('root/owned', 'root/second')
    with open('root/sparse', 'wb') as file:
        file.truncate(3 << 20)
        file.seek(1 << 20)
        file.write(b'middle')
    os.mkfifo('root/fifo')
    os.mknod('root/whiteout', stat.S_IFCHR, os.makedev(0, 0))
    os.mknod('root/null', stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.symlink('../../outside', 'root/link')
    os.mkdir('root/empty', 0o1777)
    put('root/' + 'n' * 120, b'long name\n')
    put(os.fsdecode(b'root/\xff\xfe raw\nname'), b'bytes\n')
    put('root/grüße', b'text\n')

def show(root, name):
    for folder, folders, files in os.walk(root):
        for entry in sorted(folders + files):
            path = os.path.join(folder, entry)
            info = os.lstat(path)
            line = [name, repr(os.path.relpath(path, root)), stat.filemode(info.st_mode), '%d:%d' % (info.st_uid, info.st_gid)]
            if stat.S_ISREG(info.st_mode):
                line += [str(info.st_size), 'links=%d' % info.st_nlink]
                with open(path, 'rb') as file:
                    line.append(hashlib.sha256(file.read()).hexdigest()[:12])
            elif stat.S_ISLNK(info.st_mode):
                line.append('-> ' + os.readlink(path))
            elif stat.S_ISCHR(info.st_mode):
                line.append('%d:%d' % (os.major(info.st_rdev), os.minor(info.st_rdev)))
            for key in sorted(os.listxattr(path, follow_symlinks=False)):
                line.append(key + '=' + os.getxattr(path, key, follow_symlinks=False).hex())
            print(' '.join(line))

if sys.argv[1] == '--show':
    show(*sys.argv[2:])
else:
    make(sys.argv[1])
