"""For tests only, run on the internet of a lab: prints one line for each new kind of packet that leaves the lab.

    outside_observer.py INTERFACE SUBNET    ->    IPv4-or-6 protocol, source, destination, destination port
"""
import ipaddress
import socket
import struct
import sys

ETH_P_ALL = 3


def describe(frame, inside):
    """(protocol, source, destination, port) of an Ethernet frame for somewhere else than ``inside``, else None."""
    kind = struct.unpack('!H', frame[12:14])[0]
    packet = frame[14:]
    if kind == 0x0800:
        header = (packet[0] & 15) * 4
        protocol, source, target = packet[9], packet[12:16], packet[16:20]
    elif kind == 0x86dd:
        header, protocol, source, target = 40, packet[6], packet[8:24], packet[24:40]
    else:
        return None
    source, target = ipaddress.ip_address(source), ipaddress.ip_address(target)
    if target in inside or target.is_multicast or target.is_link_local or target == inside.broadcast_address or \
            str(target) == '255.255.255.255':
        return None
    port = struct.unpack('!H', packet[header + 2:header + 4])[0] if protocol in (6, 17) else 0
    return protocol, str(source), str(target), port


def main():
    inside = ipaddress.ip_network(sys.argv[2])
    seen = set()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as link:
        link.bind((sys.argv[1], 0))
        print('observing', flush=True)
        while True:
            found = describe(link.recv(2048), inside)
            if found is not None and found not in seen:
                seen.add(found)
                print(*found, flush=True)


if __name__ == '__main__':
    main()
