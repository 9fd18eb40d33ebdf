"""All machines of a lab as one thing: made together, found again by another process."""
import contextlib
from concurrent.futures import ThreadPoolExecutor

from ua_overlay.lab import images, leftovers
from ua_overlay.lab.machine_ssh import LabSsh
from ua_overlay.lab.machines import SERVICE, Machine


def image_for(topology, name):
    """The base system of the host ``name``: robots are older than servers."""
    return images.ROBOT if name in [robot.name for robot in topology.robots] else images.SERVER


def machine_names(topology):
    """Which hosts of a topology are machines: all but routers and the internet."""
    return [item.name for item in topology.hosts + topology.robots]


class MachineSet:
    """The machines of a lab that is up.

    :param binds: (path here, path there) of what each of them sees read-only.
    :param also: names of routers that are machines too, in a router's network.
    :param lower: name -> lower directories (:func:`images.get_layer`), where those are not the plain base system.
    :ivar machines: name -> :class:`machines.Machine`.
    :ivar ssh: :class:`machine_ssh.LabSsh`.
    """

    def __init__(self, lab, binds=(), also=(), lower=None):
        self.lab = lab
        self.machines = {name: Machine(lab, name, binds=binds) for name in machine_names(lab.topology) + list(also)}
        self.ssh = LabSsh(lab)
        self.lower = lower or {}

    def __getitem__(self, name):
        self.lab.host(name)
        return self.machines[name]

    def up(self, progress=lambda text: contextlib.nullcontext()):
        """Make and boot every machine; what killed labs have left goes first.

        :raises OverlayError: LAB_IMAGE, LAB_MACHINE; what was started goes on: the lab's `down` ends it.
        """
        leftovers.sweep()
        for name, machine in self.machines.items():
            machine.lower = self.lower.get(name) or images.get(image_for(self.lab.topology, name), progress)
        own = self.ssh.make(list(self.machines))
        for name, machine in self.machines.items():
            machine.make(own[name])
        with progress('Booting {}'.format(', '.join(self.machines))):
            for machine in self.machines.values():
                machine.start()
            with ThreadPoolExecutor(len(self.machines)) as pool:
                list(pool.map(Machine.wait_booted, self.machines.values()))
        return self

    def are_there(self):
        """Whether this lab was made with machines."""
        return any(service == SERVICE for _host, service in self.lab.services())

    def power_off(self):
        """An orderly shutdown of all of them at once."""
        running = [machine for machine in self.machines.values() if machine.runs()]
        if running:
            with ThreadPoolExecutor(len(running)) as pool:
                list(pool.map(Machine.power_off, running))
